-- Settings of this transaction and not of the session: poolers hand sessions on, and refuse start-up options.
SELECT now(), set_config('timezone', 'UTC', true), set_config('client_encoding', 'UTF8', true),
       set_config('lock_timeout', %(lock)s, true), set_config('statement_timeout', %(statement)s, true),
       set_config('idle_in_transaction_session_timeout', %(idle)s, true)
