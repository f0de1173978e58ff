"""Fields that the rules of a segment can be about, as jsonb.

========================  ======================================================================================
``age``                   a field of the CDP's profile, as its document has it
``lastTouchpoint__name``  a field within a field; ``cdp_profile__age`` is ``age``
``createdAt#1``           what follows ``#`` only tells fields of the query builder apart
``segments``              keys of the segments that the CDP has the profile in
``customer_metrics__…``   a column of the table, for one currency; so ``customer_value__…``
``orders__…``             a column of an order: the profile has an order for which the rules of the group hold
========================  ======================================================================================

Fields are read from the document, since the columns of ``customers.cdp_profiles`` are normal forms: an empty text is
NULL there, and an address that cannot be used is too. Each document is opened once for a query, whatever the number of
rules.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from cdp_platform import currencies
from cdp_platform.campaigns.literals import literal
from cdp_platform.campaigns.rule_errors import RuleError

# Fields of LEO CDP's classes Profile and AbstractProfile.
_OF_THE_CDP = frozenset(
    """
    _key age ageGroup applicationIDs authorizedEditors authorizedViewers behavioralEvents businessContacts
    businessData businessIndustries churnScore contactAddresses contentKeywords contextSessionKeys createdAt
    crmRefId currentZipCode dataContext dataLabels dataLabelsAsStr dataQualityScore dataVerification dateOfBirth
    deduplicate eventStatistics extAttributes extMetrics financeCreditEvents financeRecords fingerprintId
    fintechSystemIDs firstName fromTouchpointHubIds funnelStage funnelStageTimeline gender genderAsText
    genderProbability googleUtmData governmentIssuedIDs housingType identities identitiesAsStr inAccounts
    inAccountsAsStr inCampaigns inCampaignsAsStr inJourneyMaps inJourneyMapsAsStr inSegments inSegmentsAsStr income
    incomeHistory jobTitles jobType lastItemViewEvent lastName lastObserverId lastPurchaseEvent lastSeenIp
    lastTouchpoint lastTouchpointId lastTrackingEvent lastUsedDeviceId learningCourses learningHistory livingCity
    livingCountry livingCounty livingDistrict livingLocation livingLocationType livingProvince livingState
    livingWard locationCode loyaltyIDs maritalStatus maritalStatusAsText mediaChannels mergeCode middleName
    negativeCES negativeCFS negativeCSAT negativeNPS neutralCES neutralCFS neutralCSAT neutralNPS nextBestActions
    notes notificationUserIds partitionId paymentEvents permanentLocation personaUri personalAvatars
    personalContacts personalInterests personalProblems personalityTypes positiveCES positiveCFS positiveCSAT
    positiveNPS primaryAvatar primaryEmail primaryLanguage primaryNationality primaryPhone primaryUsername
    productKeywords purchasedBrands purchasedItemIds purchasedItems receiveAds receiveAppPush receiveEmail
    receiveSMS receiveWebPush recommendationModel referrerChannels rfeScore rfmScore rootProfileId saleAgencies
    saleAgents schemaType secondaryEmails secondaryPhones shoppingItemIds shoppingItems shoppingItemsIds
    similarProfiles socialMediaProfiles softSkills solutionsForCustomer status studyCertificates subscribedChannels
    timeseriesCAC timeseriesCES timeseriesCFS timeseriesCLV timeseriesCSAT timeseriesCreditScore
    timeseriesDataQualityScore timeseriesEngagementScore timeseriesLeadScore timeseriesLoyaltyPoint timeseriesNPS
    timeseriesProspectScore timeseriesReach timeseriesTransactionValue topEngagedTouchpointIds totalCAC totalCES
    totalCFS totalCLV totalCSAT totalCreditScore totalEngagementScore totalEstimatedReach totalLeadScore
    totalLoyaltyScore totalNPS totalProspectScore totalTransactionValue type typeAsText updatedAt updatedByCrmAt
    usedDeviceIds visitorId visitorIds webCookies weeklyMobileUsage workingHistory
    """.split()
)
# The CDP makes one of these for each of its asset groups.
_OF_AN_ASSET_GROUP = re.compile(r"assetGroup_[A-Za-z0-9_-]{1,50}")

_MOMENT = sql.SQL("""to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""")
_PLAIN = sql.SQL("{}")
_NO_CURRENCY = "XXX"
_FIGURES = {
    "customer_metrics": {
        "last_purchase": _MOMENT,
        "freq_90d": _PLAIN,
        "avg_order_value": _PLAIN,
        "monetary_90d": _PLAIN,
        "clv_est": _PLAIN,
        "experience_score": _PLAIN,
        "segment": _PLAIN,
    },
    "customer_value": {
        "orders": _PLAIN,
        "spend": _PLAIN,
        "first_purchase": _MOMENT,
        "last_purchase": _MOMENT,
        "recency_score": _PLAIN,
        "frequency_score": _PLAIN,
        "monetary_score": _PLAIN,
        "expected_orders_365d": _PLAIN,
        "expected_spend_365d": _PLAIN,
        "probability_alive": _PLAIN,
    },
}
_ORDERS = {
    "amount": _PLAIN,
    "quantity": _PLAIN,
    "lines": _PLAIN,
    "ordered_at": _MOMENT,
    "order_id": _PLAIN,
    "is_purchase": _PLAIN,
}
_AMOUNTS = frozenset({"amount"})


@dataclass(frozen=True)
class Field:
    """A field of a profile or of a row about it; the expression is jsonb, and NULL where the field is missing."""

    expression: sql.Composable


@dataclass(frozen=True)
class Order(Field):
    """A field of an order; a rule about an amount looks at orders of one currency."""

    currency: str | None

    def in_currency(self, condition: sql.Composable) -> sql.Composable:
        """The condition, for orders of the currency."""
        if self.currency is None:
            return condition
        return sql.SQL("(o.currency = {} AND {})").format(literal(self.currency), condition)


class Fields:
    """The fields of one query, and what it has to read for them.

    Args:
        known_currencies: asks which currencies the tenant's customers bought in, where a rule needs one and names none.
    """

    def __init__(self, known_currencies: Callable[[], Sequence[str]]) -> None:
        self._ask = known_currencies
        self._reads_documents = False
        self._figures: dict[tuple[str, str], sql.Identifier] = {}

    def of(self, path: str, name: str, currency: str | None) -> Field:
        """The field of a name.

        Args:
            path: of the rule.
            name: as the rule has it.
            currency: that the rule names.

        Raises:
            RuleError: there is no such field, it is kept in a collection that is not read, or a currency is needed.
        """
        if currency is not None and currency not in currencies.money():
            raise RuleError(f"{path}.currency", "it is no ISO 4217 code")
        first, *within = name.partition("#")[0].split("__")
        where = f"{path}.field"
        if first == "cdp_profile" and within:
            first, *within = within
        if first in _FIGURES:
            return self._figure(path, first, _column(where, first, within, _FIGURES[first]), currency)
        if first == "orders":
            column = _column(where, first, within, _ORDERS)
            if column in _AMOUNTS:
                currency = self._currency(path, currency)
            return Order(_as_jsonb(_ORDERS[column], sql.Identifier("o", column)), currency)
        if first == "segments" and not within:
            return Field(sql.SQL("jsonb_path_query_array(p.segments, '$[*].id')"))
        if first.startswith("cdp_"):
            raise RuleError(where, f"{first} is a collection of the CDP that the platform does not read")
        if first not in _OF_THE_CDP and not _OF_AN_ASSET_GROUP.fullmatch(first):
            raise RuleError(where, "there is no such field")
        self._reads_documents = True
        expression: sql.Composable = sql.SQL("d.document")
        for each in (first, *within):
            expression = sql.SQL("({} -> {})").format(expression, literal(each))
        return Field(expression)

    def joined(self, tenant_id: str) -> sql.Composed:
        """Joins that follow ``customers.cdp_profiles AS p``, so that the fields can be read."""
        parts: list[sql.Composable] = []
        if self._reads_documents:
            # Opened once, and not for each field: `#>` unpacks the document, and OFFSET keeps it from being written out
            # wherever it is used.
            parts.append(
                sql.SQL(" CROSS JOIN LATERAL (SELECT p.document #> '{{}}' AS document OFFSET 0) AS d").format()
            )
        for (table, currency), alias in self._figures.items():
            parts.append(
                sql.SQL(
                    " LEFT JOIN customers.{table} AS {alias} ON {alias}.tenant_id = {tenant}"
                    " AND {alias}.profile_id = p.profile_id AND {alias}.currency = {currency}"
                ).format(
                    table=sql.Identifier(table), alias=alias, tenant=literal(tenant_id), currency=literal(currency)
                )
            )
        return sql.Composed(parts)

    def has_order(self, tenant_id: str, condition: sql.Composable) -> sql.Composable:
        """The profile has an order for which the condition holds."""
        return sql.SQL(
            "p.profile_id IN (SELECT o.profile_id FROM customers.orders AS o WHERE o.tenant_id = {} AND ({}))"
        ).format(literal(tenant_id), condition)

    def _figure(self, path: str, table: str, column: str, currency: str | None) -> Field:
        row = self._row(table, self._currency(path, currency) or _NO_CURRENCY)
        expression: sql.Composable = sql.SQL("{}.{}").format(row, sql.Identifier(column))
        if table == "customer_metrics":
            # A customer without a purchase has one row, of no currency, and its figures are those in every currency.
            none = self._row(table, _NO_CURRENCY)
            expression = sql.SQL(
                "CASE WHEN {row}.profile_id IS NULL AND {none}.last_purchase IS NULL THEN {none}.{column}"
                " ELSE {row}.{column} END"
            ).format(row=row, none=none, column=sql.Identifier(column))
        return Field(_as_jsonb(_FIGURES[table][column], expression))

    def _row(self, table: str, currency: str) -> sql.Identifier:
        return self._figures.setdefault((table, currency), sql.Identifier(f"{table}_{currency.lower()}"))

    def _currency(self, path: str, currency: str | None) -> str | None:
        if currency is not None or not self._known:
            return currency
        if len(self._known) > 1:
            raise RuleError(
                f"{path}.currency",
                f"there are amounts in {', '.join(self._known)}: the rule must name one, as in"
                f' "currency": "{self._known[0]}"',
            )
        return self._known[0]

    @cached_property
    def _known(self) -> Sequence[str]:
        return self._ask()


def _column(where: str, table: str, within: Sequence[str], known: dict[str, sql.SQL]) -> str:
    if len(within) != 1 or within[0] not in known:
        raise RuleError(where, f"{table} has the fields {', '.join(f'{table}__{each}' for each in known)}")
    return within[0]


def _as_jsonb(form: sql.SQL, column: sql.Composable) -> sql.Composable:
    return sql.SQL("to_jsonb({})").format(form.format(column))
