#![no_main]

nightsafe_fuzz::target!(object);
