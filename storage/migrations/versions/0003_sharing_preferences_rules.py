"""Shared identities, preferences, saved prompts, a server's rules; pictures that jobs start from, and thumbnails."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('server_rules',
    sa.Column('guild_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('rules', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('guild_id', name=op.f('pk_server_rules'))
    )
    op.create_table('saved_prompts',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('name_key', sa.String(length=128), nullable=False),
    sa.Column('prompt', sa.String(length=1000), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_saved_prompts_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_saved_prompts')),
    sa.UniqueConstraint('user_id', 'name_key', name=op.f('uq_saved_prompts_user_id_name_key'))
    )
    op.create_table('identity_shares',
    sa.Column('identity_id', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('target_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['identity_id'], ['identities.id'], name=op.f('fk_identity_shares_identity_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('identity_id', 'kind', 'target_id', name=op.f('pk_identity_shares'))
    )
    with op.batch_alter_table('identity_shares', schema=None) as batch_op:
        batch_op.create_index('ix_identity_shares_kind_target_id', ['kind', 'target_id'], unique=False)

    op.create_table('member_preferences',
    sa.Column('user_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('identity_id', sa.Integer(), nullable=True),
    sa.Column('style', sa.String(length=64), nullable=True),
    sa.Column('aspect', sa.String(length=64), nullable=True),
    sa.Column('quality', sa.String(length=16), nullable=True),
    sa.ForeignKeyConstraint(['identity_id'], ['identities.id'], name=op.f('fk_member_preferences_identity_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_member_preferences_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_member_preferences'))
    )
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.add_column(sa.Column('source', sa.LargeBinary(), nullable=True))

    with op.batch_alter_table('results', schema=None) as batch_op:
        batch_op.add_column(sa.Column('thumbnail', sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('results', schema=None) as batch_op:
        batch_op.drop_column('thumbnail')

    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_column('source')

    op.drop_table('member_preferences')
    with op.batch_alter_table('identity_shares', schema=None) as batch_op:
        batch_op.drop_index('ix_identity_shares_kind_target_id')

    op.drop_table('identity_shares')
    op.drop_table('saved_prompts')
    op.drop_table('server_rules')
