"""Contacts of a demo tenant whose search is paid, as the CSV that `cdp enrichment import` takes.

The stand-in for Apollo knows most of them; the first word of an address says what becomes of it (`apollo/people.py`).
"""

from pathlib import Path

from cdp_sandbox.demo.model import SAIGON

TENANT = SAIGON
"""Whose contacts they are."""

_LEADS = """\
First Name,Last Name,Email,Company,Website
Anna,Keller,found.anna@lotus-software.example,Lotus Software,lotus-software.example
Minh,Tran,found.minh@mekong-foods.example,Mekong Foods,mekong-foods.example
James,Brown,found.james@harbour-logistics.example,Harbour Logistics,
Linh,Pham,found.linh@northwind-retail.example,Northwind Retail,
Maria,Costa,found.maria@blue-river-health.example,,blue-river-health.example
Tuan,Le,FOUND.TUAN@granite-capital.example,Granite Capital,
Tuan,Le,found.tuan@granite-capital.example,Granite Capital,
Grace,Miller,unmatched.grace@saffron-travel.example,Saffron Travel,
Omar,Singh,nameonly.omar@oak-and-iron.example,Oak and Iron,
Hoa,Nguyen,,,
"""


def write_leads(folder: Path) -> Path:
    """Write the contacts into the folder, and return the file."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{TENANT.id}-leads.csv"
    file.write_text(_LEADS)
    return file
