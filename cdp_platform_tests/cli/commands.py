"""The command tree, and for each command the arguments with which it reports something of the demo.

A command that is missing here fails `test_every_command_is_listed`, so a new one is covered by all tests of this folder
and of `processes/test_tables.py`.
"""

from collections.abc import Iterator

import click

from cdp_platform.cli import cdp

# An id that nothing has.
_NOTHING = "00000000-0000-4000-8000-000000000000"

ARGUMENTS = {
    "demo": "--scale small",
    "up": "",
    "down": "",
    "serve": "",
    "worker": "",
    "runs": "",
    "sandbox start": "",
    "sandbox stop": "",
    "sandbox status": "",
    "sandbox reset": "",
    "sandbox pay": "--tenant saigon --search nothing",
    "init": "",
    "migrate": "",
    "status": "",
    "health": "",
    "alerts list": "",
    "alerts end": "1",
    "alerts test": "",
    "tenant add": "saigon",
    "tenant list": "",
    "tenant retire": "saigon",
    "sync": "--tenant saigon --full",
    "value backtest": "--tenant cdnow --until 1997-12-31 --days 181",
    "reconcile": "--tenant saigon",
    "erase": "--tenant saigon --profile nobody --yes",
    "rejected list": "--tenant saigon",
    "rejected replay": "--tenant saigon",
    "catalog report": "--ingestor saigon-shops",
    "catalog approve": "--ingestor saigon-shops",
    "catalog ingest": "--ingestor saigon-shops",
    "catalog cleanup": "",
    "retention": "",
    "backup": "--to /dev/null/backup",
    "restore": "--from /dev --no-erasures",
    "export-data": "--tenant saigon --dry-run",
    "campaign apply": "--tenant saigon --file /dev/null",
    "campaign list": "--tenant saigon",
    "campaign report": "--tenant saigon --event nothing",
    "campaign plan": "--tenant saigon",
    "campaign import": "--tenant saigon",
    "consent import": "--tenant saigon --file /dev/null",
    "consent show": "--tenant saigon --profile nobody",
    "campaign why": "--tenant saigon --event nothing --profile nobody",
    "campaign preview": "--tenant saigon --event nothing",
    "campaign test": "--tenant saigon --event nothing --to somebody@example.com",
    "campaign effect": "--tenant saigon",
    "campaign start": "--tenant saigon --event nothing",
    "campaign pause": "--tenant saigon --event nothing",
    "campaign resume": "--tenant saigon --event nothing",
    "campaign cancel": "--tenant saigon --event nothing",
    "campaign retry": "--tenant saigon --event nothing",
    "campaign resolve": "--tenant saigon --key 0123456789012345678901234567890123456789 --as failed",
    "campaign unsubscribe": "--tenant saigon --address nobody@example.com",
    "segment list": "--tenant saigon",
    "segment preview": "--tenant saigon --segment nothing",
    "enrichment import": "--tenant saigon --file /dev/null --name leads --price 2.99 --currency USD",
    "enrichment preview": f"--tenant saigon --search {_NOTHING}",
    "enrichment estimate": f"--tenant saigon --search {_NOTHING}",
    "enrichment retry": f"--tenant saigon --search {_NOTHING}",
    "enrichment run": "--tenant saigon",
    "enrichment status": "",
    "enrichment report": f"--tenant saigon --search {_NOTHING}",
    "enrichment resolve": f"--tenant saigon --call {_NOTHING} --not-charged",
    "search": "travel --tenant saigon",
    "embeddings text": "--tenant saigon --id nobody",
    "embeddings update": "--tenant saigon",
    "embeddings status": "",
    "embeddings retry": "--tenant saigon",
    "embeddings model add": "--provider local --name other",
    "embeddings model status": "",
    "embeddings model activate": "1",
    "embeddings model retire": "1",
}
# They start or end services, need a person, or need the web app.
NOT_IN_PROCESS = {
    "demo",
    "up",
    "down",
    "serve",
    "worker",
    "sandbox start",
    "sandbox stop",
    "sandbox reset",
    "sandbox pay",
}


def leaves(group: click.Group = cdp, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command of the tree with its words, groups left out."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


LEAVES = dict(leaves())
