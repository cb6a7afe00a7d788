"""Faces that nobody else may add, and the identities that show them."""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('face_opt_outs',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.BigInteger(), nullable=False),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('embedding', sa.LargeBinary(), nullable=False),
    sa.Column('compared_photo_id', sa.Integer(), server_default='0', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_face_opt_outs_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_face_opt_outs')),
    sqlite_autoincrement=True
    )
    op.create_index('ix_face_opt_outs_user_id', 'face_opt_outs', ['user_id'])
    op.create_table('identity_locks',
    sa.Column('identity_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('face_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.ForeignKeyConstraint(['identity_id'], ['identities.id'], name=op.f('fk_identity_locks_identity_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['face_id'], ['face_opt_outs.id'], name=op.f('fk_identity_locks_face_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('identity_id', 'face_id', name=op.f('pk_identity_locks'))
    )
    op.create_index('ix_identity_locks_face_id', 'identity_locks', ['face_id'])


def downgrade() -> None:
    for table in ('identity_locks', 'face_opt_outs'):
        op.drop_table(table)
