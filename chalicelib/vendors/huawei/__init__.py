"""Huawei Cloud CDN."""
