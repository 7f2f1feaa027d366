"""The weekly operations review: five sections of figures, each with the decision taken."""
