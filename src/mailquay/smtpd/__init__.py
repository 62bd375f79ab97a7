"""The SMTP submission listener: mail clients and programs hand over messages, and they go the way of the API's."""
