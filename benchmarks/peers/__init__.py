"""The same work on other libraries, each in a module of its own that nothing else imports."""
