"""Pure arithmetic and decisions of the incidents room: no ORM, no clock."""
