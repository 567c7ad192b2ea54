"""The Postman collection: made from the route table, run by newman against a live server."""
