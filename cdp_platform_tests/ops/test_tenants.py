import psycopg
import pytest

from cdp_platform.errors import ConfigurationError, UnknownTenantError
from cdp_platform.ops import tenants
from cdp_platform.tenant_settings import checked


def test_taking_a_tenant_back_changes_only_what_is_given(app: psycopg.Connection):
    stored = {"phone_region": "US", "shared_database": True}
    tenants.add(app, "acme", name="Acme", arango_database="leo", settings=checked("acme", stored))
    tenants.retire(app, "acme")
    tenants.add(app, "acme")
    back = tenants.get(app, "acme")
    assert (back.name, back.arango_database, back.stored_settings, back.active) == ("Acme", "leo", stored, True)
    tenants.add(app, "acme", settings=checked("acme", {"phone_region": "GB"}))
    assert tenants.get(app, "acme").stored_settings == {"phone_region": "GB", "shared_database": True}


def test_of_a_new_tenant_it_must_be_said_whether_it_has_a_database(app: psycopg.Connection):
    with pytest.raises(ConfigurationError, match="In which ArangoDB database"):
        tenants.add(app, "acme")


def test_a_tenant_can_have_no_database_then_one_and_then_none_again(app: psycopg.Connection):
    tenants.add(app, "acme", arango_database="")
    tenants.add(app, "acme", name="Acme")
    assert tenants.get(app, "acme").arango_database == ""
    tenants.add(app, "acme", arango_database="leo")
    tenants.add(app, "acme", arango_database="")
    assert tenants.get(app, "acme").arango_database == ""


def test_a_setting_that_is_the_default_again_is_not_stored(app: psycopg.Connection):
    tenants.add(app, "acme", arango_database="leo", settings=checked("acme", {"time_zone": "Asia/Tokyo"}))
    assert tenants.get(app, "acme").time_zone == "Asia/Tokyo"
    tenants.add(app, "acme", settings=checked("acme", {"time_zone": "UTC"}))
    assert tenants.get(app, "acme").stored_settings == {}


def test_an_unknown_tenant_is_an_error_that_says_where_to_look(app: psycopg.Connection):
    with pytest.raises(UnknownTenantError, match="cdp tenant list"):
        tenants.get(app, "nobody")
    with pytest.raises(UnknownTenantError, match="cdp tenant list"):
        tenants.retire(app, "nobody")


@pytest.mark.parametrize(
    ("tenant_id", "settings"),
    [("Upper", {}), ("", {}), ("a" * 64, {}), ("ok", {"phone_region": "XX"}), ("ok", {"x": 1})],
)
def test_an_unusable_tenant_is_refused_with_the_reason(app: psycopg.Connection, tenant_id: str, settings: dict):
    with pytest.raises(ConfigurationError, match=r"not usable|Settings of tenant"):
        tenants.add(app, tenant_id, name="x", arango_database="x", settings=checked(tenant_id, settings))
