"""The product view: how good the answers are, and what a release did to them."""
