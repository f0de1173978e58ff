"""Demo data: three tenants in the document shapes of LEO CDP, two invented and one of real public transactions."""
