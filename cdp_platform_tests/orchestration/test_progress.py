"""Who starts a run in a process can watch it; nobody else is told."""

from cdp_platform.orchestration import progress


def test_a_watcher_is_told_while_it_watches_and_no_longer():
    told: list[tuple[str, str, int, int | None]] = []

    def begin(tenant_id: str, subject: str) -> progress.Report:
        return lambda done, total, figures="": told.append((tenant_id, subject, done, total))

    with progress.shown_by(begin):
        report = progress.of("acme", "transactions")
        report(3, 7)
    progress.of("acme", "transactions")(4, 7)
    assert told == [("acme", "transactions", 3, 7)]


def test_without_a_watcher_work_goes_on():
    with progress.shown_by(None):
        progress.of("acme", "transactions")(1, None)
