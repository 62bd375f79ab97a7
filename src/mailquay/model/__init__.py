"""Our nouns as frozen dataclasses. They know no protocol, no JSON and no clock."""
