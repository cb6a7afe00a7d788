"""Ids are never used twice: what remembers a thing that is gone cannot come upon another of the same number."""

import json

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

TABLES = ('identities', 'id_photos', 'consents', 'jobs', 'results', 'saved_prompts')
REFERENCES = {
    'identities': (('consents', 'identity_id'), ('id_photos', 'identity_id'), ('identity_shares', 'identity_id'),
                   ('member_preferences', 'identity_id')),
    'id_photos': (('id_features', 'photo_id'),),
    'jobs': (('results', 'job_id'),),
}


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != 'sqlite':
        return  # the sequences of other databases only count up
    highest = {table: _highest_id(connection, table) for table in TABLES}
    for table in TABLES:
        with op.batch_alter_table(table, recreate='always', table_kwargs={'sqlite_autoincrement': True}):
            pass
        connection.execute(sa.text('DELETE FROM sqlite_sequence WHERE name = :table'), {'table': table})
        connection.execute(
            sa.text('INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :highest)'),
            {'table': table, 'highest': highest[table]},
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for table in TABLES:
            with op.batch_alter_table(table, recreate='always', table_kwargs={'sqlite_autoincrement': False}):
                pass


def _highest_id(connection, table):
    """The highest id that a row has, or that another row still refers to."""
    columns = ((table, 'id'), *REFERENCES.get(table, ()))
    found = [connection.execute(sa.text(f'SELECT max({column}) FROM {name}')).scalar() for name, column in columns]
    if table == 'identities':
        for name, column in (('jobs', 'request'), ('results', 'settings')):
            for (content,) in connection.execute(sa.text(f'SELECT {column} FROM {name}')):
                found += _identities_in(content)
    return max((number for number in found if number is not None), default=0)


def _identities_in(content):
    """The identities that a stored request names; nothing where it cannot be read."""
    try:
        shares = json.loads(content)['identities']
        return [share['identity_id'] for share in shares if type(share['identity_id']) is int]
    except (ValueError, TypeError, KeyError):
        return []
