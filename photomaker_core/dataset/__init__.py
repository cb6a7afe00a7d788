"""From names to groups of one person, each picture with mask, caption and class word (paper, 4.1)."""
