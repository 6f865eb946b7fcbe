"""From g2 curves to relaxation times and diffusion coefficients."""
