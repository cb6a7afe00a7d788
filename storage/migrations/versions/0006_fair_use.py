"""What fair use counts by server, and in columns instead of in stored requests."""

import json

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('guild_id', sa.BigInteger(), nullable=True))
    op.add_column('jobs', sa.Column('pictures', sa.Integer(), nullable=False, server_default='1'))
    op.create_index('ix_jobs_guild_id_created_at', 'jobs', ['guild_id', 'created_at'])
    connection = op.get_bind()
    jobs = sa.table('jobs', sa.column('id', sa.Integer), sa.column('request', sa.Text),
                    sa.column('guild_id', sa.BigInteger), sa.column('pictures', sa.Integer))
    stored = sa.select(jobs.c.id, sa.cast(jobs.c.request, sa.Text))
    for job_id, text in connection.execute(stored).all():
        values = _counted(text)
        if values:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))


def _counted(text: str | None) -> dict[str, int]:
    """The server and the number of pictures, as far as the request can be read."""
    try:
        request = json.loads(text or '')
    except ValueError:
        return {}
    if not isinstance(request, dict):
        return {}
    found = {'guild_id': request.get('guild_id'), 'pictures': request.get('count')}
    return {name: value for name, value in found.items() if type(value) is int and 0 < value < 2**63}


def downgrade() -> None:
    op.drop_index('ix_jobs_guild_id_created_at', 'jobs')
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_column('pictures')
        batch_op.drop_column('guild_id')
