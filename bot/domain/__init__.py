"""Values and rules that know neither Discord's views nor the database."""
