"""Endpoints of the incidents room."""
