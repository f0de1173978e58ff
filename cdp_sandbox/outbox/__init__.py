"""Stand-in for who delivers messages: an SMTP server, webhooks for SMS and Zalo, and the outbox with what they took."""

PATH = "/outbox"
# In the services' state folder: the certificate of the SMTP server, by which a client knows it.
CERTIFICATE_FILE = "outbox-certificate.pem"
# The one account of the SMTP server. It protects nothing: the stand-in listens on this machine alone.
SMTP_USER = "sandbox"
SMTP_PASSWORD = "sandbox"  # noqa: S105
