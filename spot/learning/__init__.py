"""How a network learns from few labels. Lightning lives here."""
