"""What moderators find in texts. No database: the word list is given its phrases."""
