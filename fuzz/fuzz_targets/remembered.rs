#![no_main]

nightsafe_fuzz::target!(remembered);
