"""Generation on another machine: requests as they travel, and clients of servers that compute them."""
