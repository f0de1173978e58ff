"""Stand-in for Google Sheets: version 4 of its API, the token endpoint of its accounts, and pages for people."""

PATH = "/sheets"
# In the services' state folder: the key of the account that the platform works as.
KEY_FILE = "google-service-account.json"
