"""What domains publish about their mail servers: the XML of Thunderbird's autoconfig and of Outlook's autodiscover."""
