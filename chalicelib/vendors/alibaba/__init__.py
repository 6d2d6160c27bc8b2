"""Alibaba Cloud CDN."""
