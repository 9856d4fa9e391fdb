"""Send mail through Microsoft 365, Gmail and any OAuth2 mailbox."""

__version__ = "0.1.0"
