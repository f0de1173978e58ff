"""Questions: real spellings of columns and values come to one normal form, and nobody is asked about without need."""

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from cdp_platform.enrichment.contact_fields import fields_of
from cdp_platform.enrichment.questions import Question, Unusable, contact_of, domain_of, hash_of, linkedin_page


def _question(given: dict[str, Any]) -> Question | Unusable:
    return contact_of(given).question


def _identity(given: dict[str, Any]) -> str:
    question = _question(given)
    assert isinstance(question, Question), question
    return question.identity


@pytest.mark.parametrize(
    ("program", "given", "fields"),
    [
        (
            "Apollo",
            {
                "First Name": "Jane",
                "Last Name": "Doe",
                "Title": "CEO",
                "Company": "Acme Ltd",
                "Email": "Jane@acme.example",
                "Person Linkedin Url": "http://www.linkedin.com/in/jane-doe",
                "Company Linkedin Url": "http://www.linkedin.com/company/acme",
                "Website": "http://www.acme.example",
                "Apollo Contact Id": "66f0c1d2e3a4b5c6d7e8f901",
            },
            {
                "first_name": "Jane",
                "last_name": "Doe",
                "email": "jane@acme.example",
                "domain": "acme.example",
                "organization_name": "Acme Ltd",
                "linkedin_url": "http://www.linkedin.com/in/jane-doe",
            },
        ),
        (
            "HubSpot",
            {
                "Record ID": "17151",
                "First Name": "Jane",
                "Last Name": "Doe",
                "Email": "",
                "Website URL": "acme.example/about",
                "Associated Company": "Acme",
            },
            {"first_name": "Jane", "last_name": "Doe", "domain": "acme.example", "organization_name": "Acme"},
        ),
        (
            "Salesforce",
            {
                "Id": "0035g00000XyZ12AAB",
                "Name": "Jane Doe",
                "Account Name": "[not provided]",
                "Email": "j@acme.example",
            },
            {"name": "Jane Doe", "email": "j@acme.example", "domain": "acme.example"},
        ),
        (
            "Google",
            {"First Name": "Jane", "Last Name": "Doe", "E-mail 1 - Value": "j@gmail.com", "Organization Name": "Acme"},
            {"first_name": "Jane", "last_name": "Doe", "email": "j@gmail.com", "organization_name": "Acme"},
        ),
        (
            "JSON",
            {"firstName": "Jane", "lastName": "Doe", "company_domain": "ACME.example", "age": 41, "tags": ["a"]},
            {"first_name": "Jane", "last_name": "Doe", "domain": "acme.example"},
        ),
    ],
)
def test_exports_of_other_programs_are_understood(program: str, given: dict[str, Any], fields: dict[str, str]) -> None:
    question = _question(given)
    assert isinstance(question, Question), program
    assert question.fields == fields


@pytest.mark.parametrize(
    ("field", "names"),
    [
        (
            "email",
            ["Email", "E-mail", "eMail", "EMAIL_ADDRESS", "E-mail Address", "Work Email", "Person - Email - Work"],
        ),
        ("name", ["Full Name", "fullName", "Person - Name", "contact_name", "Name"]),
        ("first_name", ["First Name", "firstname", "firstName", "FIRST_NAME", "Given Name"]),
        ("organization_name", ["Company", "Company / Account", "Account Name", "Person - Organization", "companyName"]),
        ("domain", ["Website", "Website URL", "Company Domain Name", "Web Page", "company_website", "URL"]),
        ("linkedin_url", ["LinkedIn", "LinkedIn URL", "linkedInProfileUrl", "LinkedIn Contact Profile URL", "URL"]),
    ],
)
def test_columns_are_known_by_the_names_that_programs_give_them(field: str, names: list[str]) -> None:
    value = "https://www.linkedin.com/in/jane" if field == "linkedin_url" else "jane@acme.example"
    assert [name for name in names if fields_of({name: value}) != {field: value}] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"email": "Jane@Acme.Example "}, {"E-Mail": "jane@acme.example", "name": "Jane"}),
        ({"email": "jane@münchen.example"}, {"email": "jane@xn--mnchen-3ya.example"}),
        ({"email": "Jane Doe <jane@acme.example>"}, {"email": "mailto:jane@acme.example; info@acme.example"}),
        ({"linkedin": "https://vn.linkedin.com/in/Jane-Doe/?trk=x"}, {"linkedin_url": "www.linkedin.com/in/jane-doe"}),
        ({"linkedin": "linkedin.com/in/ren%C3%A9"}, {"linkedin": "https://www.linkedin.com/in/rené/de"}),
        (
            {"first_name": "Rene\u0301", "last_name": "Doe", "domain": "acme.example"},
            {"name": "RENÉ  DOE\u200b", "website": "https://www.acme.example:443/team?x=1#y"},
        ),
        ({"name": "Jane Doe", "company": "Acme  Ltd"}, {"name": "jane\u00a0doe", "company": "ACME LTD"}),
        ({"id": "66F0C1D2E3A4B5C6D7E8F901"}, {"apollo_id": "66f0c1d2e3a4b5c6d7e8f901", "name": "Jane"}),
    ],
)
def test_the_same_person_in_other_words_is_one_question(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert _identity(one) == _identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"email": "jane@acme.example"}, {"email": "june@acme.example"}),
        ({"name": "Jane Doe", "company": "Acme"}, {"name": "Jane Doe", "company": "Bolt"}),
        ({"email": "jane@acme.example", "id": "66f0c1d2e3a4b5c6d7e8f901"}, {"id": "66f0c1d2e3a4b5c6d7e8f901"}),
        ({"linkedin": "linkedin.com/in/jane-doe"}, {"linkedin": "linkedin.com/in/jane-doe-2"}),
    ],
)
def test_other_people_are_other_questions(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert _identity(one) != _identity(other)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"name": "Jane Doe"}, "it has only a name"),
        ({"First Name": "Jane", "Last Name": "Doe", "Title": "CEO"}, "it has only a name"),
        ({"first name": "Jane", "company": "Acme"}, "it has a company and only a part of a name"),
        ({"company": "Acme", "website": "acme.example"}, "it has a company and no person"),
        ({"email": "jane@"}, "its e-mail address is not valid, and nothing else says who it is"),
        (
            {"email": "email_not_unlocked@domain.com"},
            "its e-mail address is not valid, and nothing else says who it is",
        ),
        ({"name": "Jane Doe", "website": "https://facebook.com/acme"}, "it has only a name"),
        ({"name": "Jane Doe", "website": "gmail.com"}, "it has only a name"),
        ({"linkedin": "https://www.linkedin.com/company/acme"}, "nothing says who it is"),
        ({"id": "4711", "title": "CEO"}, "nothing says who it is"),
        ({"name": "n/a", "email": " - "}, "nothing says who it is"),
    ],
)
def test_who_is_not_identified_is_not_asked_about(given: dict[str, Any], reason: str) -> None:
    assert _question(given) == Unusable(reason)


def test_a_bad_address_costs_itself_and_not_the_rest() -> None:
    question = _question({"email": "jane at acme", "name": "Jane Doe", "company": "Acme"})
    assert isinstance(question, Question)
    assert question.fields == {"name": "Jane Doe", "organization_name": "Acme"}


def test_a_website_says_more_than_the_domain_of_an_address() -> None:
    question = _question({"email": "jane@mail.example", "website": "acme.example"})
    assert isinstance(question, Question)
    assert question.fields["domain"] == "acme.example"


def test_every_address_of_a_contact_is_found_for_erasures() -> None:
    given = {
        "Email": "Jane@acme.example",
        "Secondary Email": "doe@home.example",
        "Notes": "also at <JD@old.example>, see =HYPERLINK",
        "more": [{"mail": "jane@münchen.example"}],
    }
    contact = contact_of(given)
    assert contact.email == "jane@acme.example"
    assert contact.other_emails == ["doe@home.example", "jd@old.example", "jane@münchen.example"]


def test_names_that_look_like_empty_cells_are_names() -> None:
    assert _identity({"first_name": "Na", "last_name": "Null", "company": "None"}) == "name:na null|company:none"


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("HTTPS://www.Bücher.example/a", "xn--bcher-kva.example"),
        ("jane@straße.example", "xn--strae-oqa.example"),
        ("acme.example.", "acme.example"),
        ("acme", None),
        ("http://", None),
        ("127.0.0.1", None),
        ("two words.example", None),
    ],
)
def test_domains_are_as_the_dns_has_them(text: str, domain: str | None) -> None:
    assert domain_of(text) == domain


def test_only_pages_of_persons_count() -> None:
    assert linkedin_page("https://www.linkedin.com/pub/Jane-Doe/1/2/3") == "http://www.linkedin.com/in/jane-doe"
    for other in ("https://linkedin.com.evil.example/in/jane", "https://www.linkedin.com/feed", "[x", ""):
        assert linkedin_page(other) is None


# A busy machine makes examples slowly.
@hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(
    st.dictionaries(
        st.sampled_from(
            ["First Name", "Last Name", "Full Name", "E-mail", "Company", "Website", "LinkedIn", "Id", "x"]
        ),
        st.one_of(
            st.text(max_size=30),
            st.builds("{}@{}.example".format, st.text(max_size=8), st.text(max_size=8)),
            st.sampled_from(["JANE@Bücher.example", "https://linkedin.com/in/Ré%20x/", "WWW.Acme.example/a", "a" * 24]),
        ),
    )
)
def test_a_question_asked_as_a_contact_is_the_same_question(said: dict[str, Any]) -> None:
    question = _question(said)
    if isinstance(question, Question):
        assert _question(question.fields) == question


def test_hashes_of_tenants_differ() -> None:
    assert hash_of(b"one", "email:a@b.example") != hash_of(b"two", "email:a@b.example")
    assert len(hash_of(b"one", "email:a@b.example")) == 32
