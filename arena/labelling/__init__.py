"""What prompts are about: questions to a judge model, and topics. Pure; the rules are `arena.ratings.categories`."""
