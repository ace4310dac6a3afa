#![no_main]

nightsafe_fuzz::target!(key_text);
