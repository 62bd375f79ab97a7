"""Templates in Handlebars: compiled and rendered in JavaScript contexts without any access to the host."""
