"""What people decide: holds and unbans."""
