"""The catalogue as a static web page: values, pages made of them by pure functions, and their writer."""
