SELECT current_setting('server_version_num')::int,
       current_setting('server_version'),
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),
       (SELECT extversion FROM pg_extension WHERE extname = 'vector')
