"""What operators see of a running federation, and what they allow: state, news, consent, units."""
