"""How a document of ``cdp_profile`` becomes a row of ``customers.cdp_profiles``.

Grain: one row per profile and tenant. A profile that the CDP merged into another one, deactivated or removed has a
closed row with the reason. Fields and codes are those of LEO CDP's classes ``Profile`` and ``AbstractProfile``.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

from cdp_platform.customers import contacts, profile_form, typed
from cdp_platform.customers import documents as read
from cdp_platform.customers.batches import Batch, Head
from cdp_platform.customers.documents import Document
from cdp_platform.customers.tenant_settings import CustomerSettings
from cdp_platform.ops.rejected import RejectedDocumentError
from cdp_platform.ops.tenants import Tenant
from cdp_platform.warehouse.load import Target, jsonb

COLLECTION = "cdp_profile"

# Time of closing of a profile that has no date at all.
_EPOCH = datetime.fromtimestamp(0, UTC)

# Raise it when the same document gives another row: the next sync then reads everything again.
VERSION = 4

# ProfileGenderCode of LEO CDP.
GENDERS = {
    0: "female",
    1: "male",
    2: "lgbt",
    3: "lesbian",
    4: "gay",
    5: "bisexual",
    6: "transgender",
    7: "unknown",
}

# PersistentObject of LEO CDP; with 1 and above a profile is active.
CLOSING_STATUS = {0: "inactive", -1: "invalid", -4: "removed", -44: "dead"}

TARGET = Target(
    schema="customers",
    table="cdp_profiles",
    key="profile_id",
    columns=(
        ("tenant_id", "text"),
        ("profile_id", "text"),
        ("status", "text"),
        ("status_code", "int4"),
        ("profile_type", "int4"),
        ("root_profile_id", "text"),
        ("merge_code", "int4"),
        ("closed_reason", "text"),
        ("closed_at", "timestamptz"),
        ("identities", "jsonb"),
        ("visitor_id", "text"),
        ("visitor_ids", "jsonb"),
        ("fingerprint_id", "text"),
        ("crm_ref_id", "text"),
        ("primary_email", "text"),
        ("primary_email_raw", "text"),
        ("secondary_emails", "jsonb"),
        ("primary_phone", "text"),
        ("primary_phone_raw", "text"),
        ("secondary_phones", "jsonb"),
        ("first_name", "text"),
        ("middle_name", "text"),
        ("last_name", "text"),
        ("gender", "text"),
        ("age", "int4"),
        ("primary_nationality", "text"),
        ("living_location", "text"),
        ("living_country", "text"),
        ("living_state", "text"),
        ("living_province", "text"),
        ("living_county", "text"),
        ("living_city", "text"),
        ("living_district", "text"),
        ("living_ward", "text"),
        ("job_titles", "jsonb"),
        ("data_labels", "jsonb"),
        ("content_keywords", "jsonb"),
        ("product_keywords", "jsonb"),
        ("media_channels", "jsonb"),
        ("behavioral_events", "jsonb"),
        ("segments", "jsonb"),
        ("campaigns", "jsonb"),
        ("accounts", "jsonb"),
        ("journey_maps", "jsonb"),
        ("event_statistics", "jsonb"),
        ("top_engaged_touchpoints", "jsonb"),
        ("funnel_stage", "text"),
        ("last_purchase_event", "jsonb"),
        ("purchased_items", "jsonb"),
        ("total_lead_score", "float8"),
        ("rfm_score", "float8"),
        ("churn_score", "float8"),
        ("total_clv", "float8"),
        ("total_cac", "float8"),
        ("total_transaction_value", "float8"),
        ("receive_email", "bool"),
        ("receive_sms", "bool"),
        ("receive_web_push", "bool"),
        ("receive_app_push", "bool"),
        ("receive_ads", "bool"),
        ("ext_data", "jsonb"),
        ("created_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        ("updated_by_crm_at", "timestamptz"),
        ("revision", "text"),
        ("document", "jsonb"),
        ("document_hash", "bytea"),
    ),
    empty={
        **dict.fromkeys(("identities", "visitor_ids", "secondary_emails", "secondary_phones", "job_titles"), "[]"),
        **dict.fromkeys(("data_labels", "content_keywords", "product_keywords", "media_channels"), "[]"),
        **dict.fromkeys(("behavioral_events", "segments", "campaigns", "accounts", "journey_maps"), "[]"),
        **dict.fromkeys(("top_engaged_touchpoints", "purchased_items"), "[]"),
        **dict.fromkeys(("event_statistics", "ext_data"), "{}"),
    },
)


class ProfileMapper:
    """Maps the profiles of one tenant.

    Attributes:
        remarks: ``unusable_contacts`` counts primary e-mails and phones without a normal form.
    """

    collection = COLLECTION
    target = TARGET
    version = VERSION

    def __init__(self, tenant: Tenant, fetch_touchpoints: Callable[[list[str]], Iterable[Document]]) -> None:
        self.remarks: Counter[str] = Counter()
        self._tenant_id = tenant.tenant_id
        self._region = CustomerSettings.of(tenant).phone_region
        self._fetch_touchpoints = fetch_touchpoints
        self._touchpoints: dict[str, bytes] = {}
        self._hash = blake2b(self._region.encode(), digest_size=16, salt=VERSION.to_bytes(16))

    def prepare(self, batch: Batch) -> None:
        """Fetch the touchpoints that these profiles name and that were not seen before, in one query."""
        named = {key for head in batch.heads for key in _touchpoint_keys(head.touchpoints)}
        if wanted := named - self._touchpoints.keys():
            # A touchpoint that does not exist any more is reduced to its id.
            self._touchpoints |= {key: json.dumps({"id": key}).encode() for key in wanted}
            for touchpoint in self._fetch_touchpoints(sorted(wanted)):
                # A touchpoint that PostgreSQL cannot store would cause every profile that names it to be rejected.
                with suppress(RejectedDocumentError):
                    self._touchpoints[touchpoint["id"]] = read.canonical(touchpoint)

    def persons(self, document: Document) -> list[str]:
        """The profile, and the profile that it was merged into."""
        # Read as in `row`, where numbers become digits. A value that is no text is nobody's key.
        with suppress(RejectedDocumentError):
            root = read.text(document, "rootProfileId")
            if read.is_key(root) and root != read.key(document):
                return [read.key(document), root]
        return [read.key(document)]

    def addresses(self, document: Document) -> list[str]:
        """All values that may be e-mail addresses of the person. ``customers.addresses`` finds those of rows."""
        found = [document.get("primaryEmail")]
        for name, prefix in (("secondaryEmails", ""), ("identities", "email:")):
            values = document.get(name)
            found += [
                value.removeprefix(prefix)
                for value in (values if isinstance(values, list) else [values])
                if isinstance(value, str) and value.startswith(prefix)
            ]
        return [value for value in found if isinstance(value, str) and read.is_storable(value)]

    def fingerprint(self, content: bytes, head: Head) -> bytes:
        """The hash, which also changes with a joined touchpoint and the phone region."""
        digest = self._hash.copy()
        digest.update(content)
        if head.touchpoints:
            digest.update(self._joined_json(_touchpoint_keys(head.touchpoints)))
        return digest.digest()

    def columns(
        self, sources: Sequence[bytes], contents: Sequence[bytes], digests: Sequence[bytes]
    ) -> tuple[list[int], dict[str, typed.Column]]:
        """The columns of ``TARGET`` for the documents in the plain form, and the places of these documents."""
        places, columns = profile_form.form().taken(sources)
        emails, phones = columns["primary_email_raw"], columns["primary_phone_raw"]
        columns["tenant_id"] = [self._tenant_id] * len(places)
        columns["primary_email"] = [contacts.email(raw) for raw in emails]
        columns["primary_phone"] = [contacts.phone(raw, self._region) for raw in phones]
        for raw, usable in ((emails, columns["primary_email"]), (phones, columns["primary_phone"])):
            self.remarks["unusable_contacts"] += usable.count(None) - raw.count(None)
        columns["secondary_emails"] = [_usable(raws, contacts.email) for raws in columns["secondary_emails"]]
        columns["secondary_phones"] = [
            _usable(raws, lambda raw: contacts.phone(raw, self._region)) for raws in columns["secondary_phones"]
        ]
        columns["gender"] = [None if code is None else GENDERS.get(code, "unknown") for code in columns["gender"]]
        columns["age"] = [age or None for age in columns["age"]]
        codes = columns["status_code"]
        columns["closed_reason"] = reasons = [
            _closed_reason(*each) for each in zip(codes, columns["root_profile_id"], columns["profile_id"], strict=True)
        ]
        columns["status"] = [_status(*each) for each in zip(codes, reasons, strict=True)]
        columns["closed_at"] = [
            (updated_at or created_at or _EPOCH) if reason else None
            for reason, updated_at, created_at in zip(
                reasons, columns["updated_at"], columns["created_at"], strict=True
            )
        ]
        columns["top_engaged_touchpoints"] = [
            b"\x01" + self._joined_json(keys) if keys else typed.EMPTY_LIST
            for keys in columns["top_engaged_touchpoints"]
        ]
        columns["document"] = [b"\x01" + contents[place] for place in places]
        columns["document_hash"] = [digests[place] for place in places]
        return places, columns

    def row(self, document: Document, content: bytes, digest: bytes) -> tuple[Any, ...]:
        """The row, in the order of ``TARGET.columns``.

        Raises:
            RejectedDocumentError: a field has a wrong type or value.
        """
        status_code = read.integer(document, "status")
        root_profile_id = read.text(document, "rootProfileId")
        profile_id = read.key(document)
        closed_reason = _closed_reason(status_code, root_profile_id, profile_id)
        updated_at = read.timestamp(document, "updatedAt")
        created_at = read.timestamp(document, "createdAt")
        email_raw = read.text(document, "primaryEmail")
        email = contacts.email(email_raw)
        phone_raw = read.text(document, "primaryPhone")
        phone = contacts.phone(phone_raw, self._region)
        if email is None and email_raw is not None:
            self.remarks["unusable_contacts"] += 1
        if phone is None and phone_raw is not None:
            self.remarks["unusable_contacts"] += 1
        return (
            self._tenant_id,
            profile_id,
            _status(status_code, closed_reason),
            status_code,
            read.integer(document, "type"),
            root_profile_id,
            read.integer(document, "mergeCode"),
            closed_reason,
            (updated_at or created_at or _EPOCH) if closed_reason else None,
            read.texts(document, "identities"),
            read.text(document, "visitorId"),
            read.texts(document, "visitorIds"),
            read.text(document, "fingerprintId"),
            read.text(document, "crmRefId"),
            email,
            email_raw,
            [usable for raw in read.texts(document, "secondaryEmails") if (usable := contacts.email(raw))],
            phone,
            phone_raw,
            [
                usable
                for raw in read.texts(document, "secondaryPhones")
                if (usable := contacts.phone(raw, self._region))
            ],
            read.text(document, "firstName"),
            read.text(document, "middleName"),
            read.text(document, "lastName"),
            _gender(document),
            # The CDP writes 0 for an unknown age.
            read.integer(document, "age") or None,
            read.text(document, "primaryNationality"),
            read.text(document, "livingLocation"),
            read.text(document, "livingCountry"),
            read.text(document, "livingState"),
            read.text(document, "livingProvince"),
            read.text(document, "livingCounty"),
            read.text(document, "livingCity"),
            read.text(document, "livingDistrict"),
            read.text(document, "livingWard"),
            read.texts(document, "jobTitles"),
            read.texts(document, "dataLabels"),
            read.texts(document, "contentKeywords"),
            read.texts(document, "productKeywords"),
            read.texts(document, "mediaChannels"),
            read.texts(document, "behavioralEvents"),
            read.references(document, "inSegments", ("name",)),
            read.references(document, "inCampaigns", ("name",)),
            read.references(document, "inAccounts", ("name",)),
            read.references(document, "inJourneyMaps", ("name", "funnelIndex")),
            read.mapping(document, "eventStatistics"),
            self._joined(document),
            read.text(document, "funnelStage"),
            read.mapping(document, "lastPurchaseEvent") or None,
            read.objects(document, "purchasedItems"),
            read.number(document, "totalLeadScore"),
            read.number(document, "rfmScore"),
            read.number(document, "churnScore"),
            read.number(document, "totalCLV"),
            read.number(document, "totalCAC"),
            read.number(document, "totalTransactionValue"),
            read.consent(document, "receiveEmail"),
            read.consent(document, "receiveSMS"),
            read.consent(document, "receiveWebPush"),
            read.consent(document, "receiveAppPush"),
            read.consent(document, "receiveAds"),
            read.mapping(document, "extAttributes"),
            created_at,
            updated_at,
            read.timestamp(document, "updatedByCrmAt"),
            read.text(document, "_rev"),
            orjson.Fragment(content),
            digest,
        )

    def _joined(self, document: Document) -> list[Document]:
        keys = _touchpoint_keys(document.get("topEngagedTouchpointIds"))
        return [orjson.loads(self._touchpoints[key]) for key in keys]

    def _joined_json(self, keys: list[str]) -> bytes:
        return b"[" + b",".join([self._touchpoints[key] for key in keys]) + b"]"


def _usable(raws: list[str] | None, normal_form: Callable[[str], str | None]) -> bytes:
    if not raws:
        return typed.EMPTY_LIST
    return jsonb([usable for raw in raws if (usable := normal_form(raw))])


def _touchpoint_keys(keys: Any) -> list[str]:
    """Keys of the touchpoints that a profile names; `row` rejects a value that is no list of texts."""
    return [key for key in keys if isinstance(key, str) and key] if isinstance(keys, list) else []


def _closed_reason(status_code: int | None, root_profile_id: str | None, profile_id: str) -> str | None:
    if root_profile_id and root_profile_id != profile_id:
        return "merged"
    if status_code is None or status_code > 0:
        return None
    return CLOSING_STATUS.get(status_code, "invalid")


def _status(status_code: int | None, closed_reason: str | None) -> str:
    if closed_reason is None:
        return "active"
    return "suspended" if status_code == 0 and closed_reason == "inactive" else "archived"


def _gender(document: Document) -> str | None:
    code = read.integer(document, "gender")
    # A code of a newer CDP counts as unknown; the stored document has it.
    return None if code is None else GENDERS.get(code, "unknown")
