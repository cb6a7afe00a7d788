"""Consent by its exact sentence, who draws whom, requests to be drawn, opt-outs."""

import json

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('consents', sa.Column('sentence', sa.String(), nullable=True))
    op.add_column('consents', sa.Column('version', sa.Integer(), nullable=True))
    op.add_column('consents', sa.Column('photos', sa.Integer(), nullable=True))
    op.create_table('job_identities',
    sa.Column('job_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('identity_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_job_identities_job_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['identity_id'], ['identities.id'], name=op.f('fk_job_identities_identity_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'identity_id', name=op.f('pk_job_identities'))
    )
    op.create_index('ix_job_identities_identity_id_job_id', 'job_identities', ['identity_id', 'job_id'])
    op.create_table('identity_requests',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('asker_id', sa.BigInteger(), nullable=False),
    sa.Column('member_id', sa.BigInteger(), nullable=False),
    sa.Column('guild_id', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('identity_id', sa.Integer(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['asker_id'], ['users.id'], name=op.f('fk_identity_requests_asker_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['identity_id'], ['identities.id'], name=op.f('fk_identity_requests_identity_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_requests')),
    sqlite_autoincrement=True
    )
    op.create_index('ix_identity_requests_asker_id_created_at', 'identity_requests', ['asker_id', 'created_at'])
    op.create_index('ix_identity_requests_member_id_created_at', 'identity_requests', ['member_id', 'created_at'])
    op.create_table('opt_outs',
    sa.Column('user_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_opt_outs_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_opt_outs'))
    )
    _link_stored_jobs()


def _link_stored_jobs() -> None:
    """Note whom the stored jobs draw, as far as their requests can be read and the people are still there."""
    connection = op.get_bind()
    jobs = sa.table('jobs', sa.column('id', sa.Integer), sa.column('request', sa.Text))
    identities = sa.table('identities', sa.column('id', sa.Integer))
    links = sa.table('job_identities', sa.column('job_id', sa.Integer), sa.column('identity_id', sa.Integer))
    there = set(connection.scalars(sa.select(identities.c.id)))
    stored = connection.execute(sa.select(jobs.c.id, sa.cast(jobs.c.request, sa.Text))).all()
    rows = [{'job_id': job, 'identity_id': one} for job, text in stored for one in sorted(_people(text) & there)]
    if rows:
        connection.execute(sa.insert(links), rows)


def _people(text: str | None) -> set[int]:
    try:
        request = json.loads(text or '')
    except ValueError:
        return set()
    people = request.get('identities') if isinstance(request, dict) else None
    if not isinstance(people, list):
        return set()
    found = (one.get('identity_id') for one in people if isinstance(one, dict))
    return {one for one in found if type(one) is int}


def downgrade() -> None:
    for table in ('opt_outs', 'identity_requests', 'job_identities'):
        op.drop_table(table)
    with op.batch_alter_table('consents', schema=None) as batch_op:
        for column in ('photos', 'version', 'sentence'):
            batch_op.drop_column(column)
