"""The web page and the JSON API: doors over the same services the command line uses. No decision lives here.

`serve` runs it; `app.make_app` is the application; `guard` stands before every route. Nothing outside this package
and the command `serve` imports it, so no other command pays for FastAPI.
"""
