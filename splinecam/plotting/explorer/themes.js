// Colours of the drawing in the two themes, as [red, green, blue] from 0 to 1.

// In the dark theme colours get deeper and darker.
const DEEPER = 1.5;
const DARKER = 0.66;

function themesOf(header) {
  const palette = header.palette.map(parseColour);
  const ink = parseColour(header.ink);
  const night = parseColour("#14171c");
  return {
    light: {
      paper: [1, 1, 1],
      ink,
      halo: [1, 1, 1],
      accent: parseColour("#b6452c"),
      palette,
    },
    dark: {
      paper: night,
      ink: parseColour("#0d1014"),
      halo: parseColour("#0d1014"),
      boundary: parseColour("#f4f5f6"),
      accent: parseColour("#ffa27f"),
      palette: palette.map((colour) => colour.map((c) => DARKER * c ** DEEPER)),
    },
  };
}

function parseColour(text) {
  return [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16) / 255);
}
