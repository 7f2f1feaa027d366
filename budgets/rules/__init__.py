"""Pure arithmetic and decisions of the budgets room: no ORM, no clock."""
