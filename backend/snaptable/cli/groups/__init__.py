"""The commands as they are declared: names, parameters, help. What they need is imported when one is carried out."""
