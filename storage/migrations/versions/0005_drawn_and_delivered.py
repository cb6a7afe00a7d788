"""Jobs that are drawn and not yet delivered: who is still owed a word, what the model did not see, attempts."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('attempts', sa.Integer(), nullable=False, server_default='0'))
    op.add_column('jobs', sa.Column('dropped_text', sa.String(), nullable=True))
    op.add_column('jobs', sa.Column('awaits_delivery', sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index('ix_jobs_awaits_delivery_id', 'jobs', ['awaits_delivery', 'id'])
    op.execute("UPDATE jobs SET state = 'delivered' WHERE state = 'done'")


def downgrade() -> None:
    op.execute("UPDATE jobs SET state = 'done' WHERE state IN ('drawn', 'delivered')")
    op.drop_index('ix_jobs_awaits_delivery_id', 'jobs')
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_column('awaits_delivery')
        batch_op.drop_column('dropped_text')
        batch_op.drop_column('attempts')
