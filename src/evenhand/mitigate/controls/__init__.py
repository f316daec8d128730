"""What mitigations are compared with: trivial rivals, and mechanisms taken out of a method."""
