"""What a campaign will take: its real plans, rehearsed on a machine that is made of the lab file and of earlier runs."""
