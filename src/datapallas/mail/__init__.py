"""One message, sent once: what a person says, its octets, its envelope, and the way it leaves.

`address`, `message`, `header`, `encoding`, `envelope` and `delivery` are pure; `attachment` and `compose` read
attachments; `smtp_transport` and `mailbox` talk to servers.
"""
