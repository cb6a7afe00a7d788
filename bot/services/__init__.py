"""The work behind the commands: jobs, identities, drawing, admission, messages."""
