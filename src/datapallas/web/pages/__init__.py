"""The pages: each module answers the requests of one, and shows what the services say."""
